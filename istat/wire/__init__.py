"""What comes over a wire: bytes to messages (`framing`), messages to samples (`protocol`, `lines`). No sockets."""
