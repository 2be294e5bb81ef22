"""What the live server costs, measured from outside: a server in a process of its own, load over loopback."""
