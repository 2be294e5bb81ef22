"""The live server: an HTTP front end, one router with the engine in it, one process per device, and the load that tests them."""
