"""Real images and the samples drawn from them."""
