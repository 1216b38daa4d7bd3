"""One machine's whole installation: embedded servers, web, worker, beat.

``python -m skinapp.runtime run`` is ``make run``; ``exec -- COMMAND`` runs a command against
throw-away servers.
"""
