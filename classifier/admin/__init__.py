"""The admin panel: stock Django admin, branded."""
