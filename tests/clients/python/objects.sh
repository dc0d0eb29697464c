# The official client: typed calls, patches, watches, pages, the dynamic client.
expect done "$PYTHON" "$CLIENTS/python/objects.py"
