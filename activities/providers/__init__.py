"""Where messages leave the house: mail servers, gateways, push services, a log."""
