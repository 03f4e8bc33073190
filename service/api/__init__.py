"""The HTTP API: `service.api.app.create_app` puts it together; routes by subject, one module each."""
