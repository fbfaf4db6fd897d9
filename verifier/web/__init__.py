"""HTTP: routes, problems, metrics. Only ``problems`` knows statuses; nothing here decides."""
