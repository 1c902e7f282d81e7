"""What stands behind `quantum status` and `quantum morning`: the whole on one screen."""
