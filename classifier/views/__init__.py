"""Views: parse, authorise, call one service, render."""
