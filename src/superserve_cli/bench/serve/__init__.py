"""What `superserve bench` measures of the live server."""
