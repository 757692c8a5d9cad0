"""Take a new release of the template: `make upgrade`."""
