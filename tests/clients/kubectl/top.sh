# top needs metrics of members.
refuse 'Metrics API not available' k top pods
skip 'no metrics.k8s.io: kubectl says "Metrics API not available", as at any server without it'
