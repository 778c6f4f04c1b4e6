"""What serving needs: the exported model and its answers, for one movie or many. No torch."""
