"""A W&B server on the loopback interface that takes in one run and keeps it in memory."""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self


class WandbServer:
    """Enough of a W&B server for the SDK to start, log and finish a run.

    Attributes:
        url: where it listens.
        run: what the SDK said of the run: name (the id), displayName, groupName, jobType, tags, config.
        history, summary, exit_code: what the SDK streamed.
        artifacts: what the SDK said of each artifact, in order.
        uploads: bytes by path: `run/...`, and `<position of the artifact>/...`.
    """

    def __init__(self) -> None:
        self.run: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.exit_code: int | None = None
        self.artifacts: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, operation: str, sent: dict[str, Any]) -> dict[str, Any] | None:
        """Data of a GraphQL operation, or None if it is unknown here."""
        match operation:
            case "Viewer":
                return {"viewer": {"id": "user", "entity": "team", "flags": "{}", "teams": {"edges": []}}}
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
            case "RunResumeStatus":
                return {"model": None}
            case "RunStoppedStatus":
                return {"project": {"run": {"stopped": False}}}
            case "UpsertBucket":
                self.run |= {key: value for key, value in sent.items() if value is not None}
                project = {"id": "project", "name": self.run["project"], "entity": {"id": "team", "name": "team"}}
                bucket = {"id": "run", "name": self.run["name"], "displayName": "", "project": project}
                return {"upsertBucket": {"bucket": bucket, "inserted": True}}
            case "CreateRunFiles":
                return {
                    "createRunFiles": {"runID": "run", "files": [self._file("run", name) for name in sent["files"]]}
                }
            case "CreateArtifact":
                self.artifacts.append(sent["input"])
                artifact = {"id": f"{len(self.artifacts) - 1}", "artifactSequence": {"id": "", "latestArtifact": None}}
                return {"createArtifact": {"artifact": artifact | {"state": "PENDING"}}}
            case "CreateArtifactManifest":
                manifest = {"id": "manifest", "file": self._file(sent["artifactID"], sent["name"])}
                return {"createArtifactManifest": {"artifactManifest": manifest}}
            case "CreateArtifactFiles":
                files = sent["input"]["artifactFiles"]
                edges = [{"node": self._file(file["artifactID"], file["name"])} for file in files]
                return {"createArtifactFiles": {"files": {"edges": edges}}}
            case "CommitArtifact":
                return {"commitArtifact": {"artifact": {"id": sent["artifactID"], "digest": ""}}}
        return None

    def stream(self, sent: dict[str, Any]) -> None:
        """Take in a part of the run's stream of history and summary."""
        files = sent.get("files") or {}
        self.history += [json.loads(line) for line in files.get("wandb-history.jsonl", {}).get("content", [])]
        for line in files.get("wandb-summary.json", {}).get("content", []):
            self.summary = json.loads(line)
        if sent.get("complete"):
            self.exit_code = sent["exitcode"]

    def _file(self, owner: str, name: str) -> dict[str, Any]:
        path = f"{owner}/{name}"
        upload = {"uploadUrl": f"{self.url}/{path}", "uploadHeaders": [], "uploadMultipartUrls": None}
        return {"id": path, "name": name, "storagePath": path, "artifact": {"id": owner}, **upload}


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self._body())
            if self.path == "/graphql":
                operation = re.search(r"(query|mutation)\s+(\w+)", sent["query"])[2]
                data = server.answer(operation, sent.get("variables") or {})
                errors = [] if data else [{"message": f"unknown operation {operation}"}]
                self._reply({"data": data, "errors": errors})
            else:
                server.stream(sent)
                self._reply({})

        def do_PUT(self) -> None:
            server.uploads[self.path.removeprefix("/")] = self._body()
            self._reply({})

        def log_message(self, *arguments: object) -> None:
            pass

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def _reply(self, content: dict[str, Any]) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

    return Handler
