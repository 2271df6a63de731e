"""The client of Aftersales: `from aftersales.client import Aftersales`."""
