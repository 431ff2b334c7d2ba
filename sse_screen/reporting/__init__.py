"""The ranking and the page that shows a campaign's results."""
