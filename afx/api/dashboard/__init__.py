"""The dashboard: pages made on the server, live by one stream of events for all tabs."""
