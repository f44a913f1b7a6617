"""gradio_client at an app of Gradio's: ``gradio_user.py URL FILE``. Prints what it got as JSON.

What it finds in its environment (``HTTP_PROXY``) it uses, as any client does.
"""

import json
import sys
from pathlib import Path

from gradio_client import Client, handle_file

client = Client(sys.argv[1], verbose=False)
said = client.predict("hello", api_name="/shout")
streamed = list(client.submit(3, api_name="/count"))
back = Path(client.predict(handle_file(sys.argv[2]), api_name="/copy"))
print(json.dumps({"said": said, "streamed": streamed, "back": back.read_text("utf-8")}))
