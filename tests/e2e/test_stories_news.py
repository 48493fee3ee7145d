"""Stories of the news, on the broker of a laptop: of orders that end in every way, and of all that the
stories before this one made."""

import os

import news
from story import Story


class News(news.Reading, Story):
    def setUp(self):
        super().setUp()
        self.prepare_news()

    def broker_address(self):
        return os.environ.get("MESH_KAFKA") or self.mesh.address("broker")
