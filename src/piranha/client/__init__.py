"""The one HTTP client of the API. Knows only `base`."""
