"""The platform's records, as the stores keep them and the API shows them."""
