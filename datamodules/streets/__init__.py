"""What generated streets are drawn of: constants, a canvas, the things on it, their places, and a camera."""
