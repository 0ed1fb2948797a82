"""The main job: an agency's attachments copied with a manifest, its employment history as CSV."""
