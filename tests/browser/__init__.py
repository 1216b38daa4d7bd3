"""The whole product in a real browser, on real servers and a real worker."""
