window.YTD.tweets.part0 = [
  {
    "tweet": {
      "id_str": "1",
      "full_text": "Ahoy! Snow &amp; soup today https://t.co/abc",
      "created_at": "Mon Jan 01 10:00:00 +0000 2024",
      "entities": {
        "urls": [
          {
            "url": "https://t.co/abc",
            "expanded_url": "https://clocks.example.org/soup"
          }
        ]
      },
      "lang": "en"
    }
  },
  {
    "tweet": {
      "id_str": "2",
      "full_text": "RT @anna: snow",
      "created_at": "Mon Jan 01 10:00:00 +0000 2024",
      "entities": {
        "urls": []
      },
      "lang": "en"
    }
  },
  {
    "tweet": {
      "id_str": "3",
      "full_text": "@anna @gus The goat is innocent.",
      "created_at": "Mon Jan 01 10:00:00 +0000 2024",
      "entities": {
        "urls": []
      },
      "lang": "en",
      "in_reply_to_screen_name": "anna"
    }
  },
  {
    "tweet": {
      "id_str": "4",
      "full_text": "https://t.co/pic",
      "created_at": "Mon Jan 01 10:00:00 +0000 2024",
      "entities": {
        "urls": []
      },
      "lang": "en"
    }
  }
]