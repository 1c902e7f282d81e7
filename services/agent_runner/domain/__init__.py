"""What a runner decides, without touching the world."""
