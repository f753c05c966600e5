"""What the cubes' kernels are made of: native only, without twins. Nothing outside the room imports it."""
