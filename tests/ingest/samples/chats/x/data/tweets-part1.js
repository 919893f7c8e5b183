window.YTD.tweets.part1 = [
  {
    "tweet": {
      "id_str": "5",
      "full_text": "Clocks go forward.\nGoats do not.",
      "created_at": "Mon Jan 01 10:00:00 +0000 2024",
      "entities": {
        "urls": []
      },
      "lang": "en"
    }
  }
]