"""The audit: histories kept for years, verified against the rules, and explained."""
