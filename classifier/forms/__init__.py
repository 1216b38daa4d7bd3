"""Forms: what people may enter, and what it must be."""
