"""Reading the public image sets, cleaning their labels, and splitting without leaks."""
