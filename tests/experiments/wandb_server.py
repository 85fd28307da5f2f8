"""A W&B server on the loopback interface that keeps runs, artifacts and views in memory, and gives them back."""

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from typing import Any, Self

ENTITY = "team"
KEY = "0" * 40
TIME = "2026-01-01T00:00:00Z"


@dataclass
class Run:
    """What the SDK said of a run."""

    id: str
    sent: dict[str, Any] = field(default_factory=dict)  # displayName, groupName, jobType, tags, project
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    starts: int = 0
    used: list[str] = field(default_factory=list)  # ids of artifacts


@dataclass
class Artifact:
    """What the SDK said of an artifact, and the paths of its files."""

    id: str
    name: str
    type: str
    project: str
    run: str | None  # that made it; none made what is used alone
    digest: str
    version: int
    metadata: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    manifest: str = ""


class WandbServer:
    """Enough of a W&B server for the SDK, its public API and wandb-workspaces.

    Attributes:
        url: where it listens.
        runs: by id.
        artifacts: by id, in order.
        views: workspaces and reports by id, as they were last saved.
        uploads: bytes by path: `run/<id>/...`, `artifact/<id>/...` and manifests.
        unknown: what was asked and is not known here.
        changes: how often it was asked to change something.
        saved: how often it was asked to save a view.
        lost: while it is set, connections are dropped without an answer.
        lost_at: name of an operation with which the connection is lost; "" for none.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.views: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytes] = {}
        self.unknown: list[str] = []
        self.changes = self.saved = 0
        self.lost = False
        self.lost_at = ""
        self.lock = RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def environment(self) -> dict[str, str]:
        """By which the SDK finds the server."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def inputs(self, run: str) -> list[str]:
        """Names of the artifacts that a run used."""
        return [self.artifacts[id].name for id in self.runs[run].used]

    def logged(self, run: str) -> dict[str, Artifact]:
        """The artifacts that a run made, by type, the last of each."""
        return {artifact.type: artifact for artifact in self.artifacts.values() if artifact.run == run}

    def answer(self, operation: str, sent: dict[str, Any]) -> dict[str, Any] | None:
        """Data of a GraphQL operation, or None if it is unknown here."""
        match operation:
            case "Viewer" | "GetDefaultEntity" | "GetViewer":
                names = {"id": "user", "entity": ENTITY, "username": "user", "email": "", "admin": False, "flags": "{}"}
                return {"viewer": {**names, "teams": {"edges": []}}}
            case "ServerFeaturesQuery":
                return {"serverInfo": {"features": []}}
            case "OrganizationCoreWeaveOrganizationID":
                return {"entity": {"organization": None}}
            case "ProjectInternalId":
                return {"project": {"id": "project", "internalId": "project"}}
            case "GetProjects":
                return {"models": _edges([_project(name) for name in sorted(self._projects())])}
            case "CreateProject":
                name = sent["input"]["name"]
                return {"upsertModel": {"project": _project(name), "model": {"name": name}, "inserted": True}}
        return self._of_runs(operation, sent) or self._of_artifacts(operation, sent) or self._of_views(operation, sent)

    def _of_runs(self, operation: str, sent: dict[str, Any]) -> dict[str, Any] | None:
        match operation:
            case "RunResumeStatus":
                run = self.runs.get(sent["name"])
                return {"model": run and {**_project(run.sent["project"]), "bucket": self._resumed(run)}}
            case "RunStoppedStatus":
                return {"project": {"run": {"stopped": False}}}
            case "UpsertBucket":
                run = self.runs.setdefault(sent["name"], Run(sent["name"]))
                run.starts += "displayName" in sent
                run.sent |= {key: value for key, value in sent.items() if value is not None}
                run.config |= json.loads(sent.get("config") or "{}")
                run.summary |= json.loads(sent.get("summaryMetrics") or "{}")
                bucket = {"id": run.id, "name": run.id, "displayName": "", "project": _project(run.sent["project"])}
                return {"upsertBucket": {"bucket": bucket, "inserted": run.starts == 1}}
            case "CreateRunFiles":
                files = [self._file(f"run/{sent['run']}", name) for name in sent["files"]]
                return {"createRunFiles": {"runID": sent["run"], "files": files}}
            case "Runs" | "GetRuns" | "LightRuns":
                if sent["project"] not in self._projects():
                    return {"project": None}
                asked = json.loads(sent.get("filters") or "{}")
                runs = [self._described(run) for run in self.runs.values() if _matches(run, asked)]
                return {"project": {"internalId": "1", "runCount": len(runs), "readOnly": False, "runs": _edges(runs)}}
            case "Run":
                return {"project": {"internalId": "1", "run": self._described(self.runs[sent["name"]])}}
            case "RunOutputArtifacts" | "RunInputArtifacts":
                run = self.runs[sent["run"]]
                made = [one.id for one in self.artifacts.values() if one.run == run.id]
                found = [
                    self._artifact(self.artifacts[id])
                    for id in (made if operation.startswith("RunOutput") else run.used)
                ]
                return {"project": {"run": {"artifacts": {"totalCount": len(found), **_edges(found)}}}}
        return None

    def _of_artifacts(self, operation: str, sent: dict[str, Any]) -> dict[str, Any] | None:
        match operation:
            case "CreateArtifact":
                return {"createArtifact": {"artifact": self._created(sent["input"])}}
            case "CreateArtifactManifest":
                artifact = self.artifacts[sent["artifactID"]]
                artifact.manifest = f"manifest/{artifact.id}"
                manifest = {"id": artifact.manifest, "file": self._file("manifest", artifact.id)}
                return {"createArtifactManifest": {"artifactManifest": manifest}}
            case "CreateArtifactFiles":
                files = [(self.artifacts[file["artifactID"]], file["name"]) for file in sent["input"]["artifactFiles"]]
                for artifact, name in files:
                    artifact.files[name] = f"artifact/{artifact.id}/{name}"
                edges = [
                    {"node": self._file(f"artifact/{artifact.id}", name) | {"artifact": {"id": artifact.id}}}
                    for artifact, name in files
                ]
                return {"createArtifactFiles": {"files": {"edges": edges}}}
            case "CommitArtifact":
                return {"commitArtifact": {"artifact": {"id": sent["artifactID"], "digest": ""}}}
            case "UseArtifact":
                asked = sent.get("input", sent)
                artifact = self.artifacts[asked["artifactID"]]
                run = self.runs[asked["runName"]]
                run.used = list(dict.fromkeys([*run.used, artifact.id]))
                return {"useArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}
            case "ArtifactType":
                name = sent["name"].rpartition("/")[2].partition(":")[0]
                kinds = [{"artifactType": {"name": one.type}} for one in self.artifacts.values() if one.name == name]
                return {"project": {"artifact": kinds[0] if kinds else None}}
            case "ArtifactCreatedBy":
                run = self.runs.get(self.artifacts[sent["id"]].run or "")
                return {"artifact": {"createdBy": run and self._described(run) | {"__typename": "Run"}}}
            case "ArtifactByID":
                return {"artifact": self._artifact(self.artifacts[sent["id"]])}
            case "ArtifactMembershipByName":
                name, _, version = sent["name"].partition(":")
                known = [one for one in self.artifacts.values() if one.name == name]
                (found,) = known[-1:] if version == "latest" else [one for one in known if f"v{one.version}" == version]
                return {"project": {"artifactCollectionMembership": self._membership(found)}}
            case "FetchArtifactManifest":
                artifact = self.artifacts[sent["id"]]
                file = {"directUrl": f"{self.url}/{artifact.manifest}"}
                return {"artifact": {"currentManifest": {"id": artifact.manifest, "file": file}}}
            case "GetArtifactMembershipFileUrls":
                version = int(sent["alias"].removeprefix("v"))
                (artifact,) = (
                    one for one in self.artifacts.values() if (one.name, one.version) == (sent["collection"], version)
                )
                urls = [
                    {"__typename": "File", "name": name, "directUrl": f"{self.url}/{path}"}
                    for name, path in artifact.files.items()
                ]
                membership = {"artifactMembership": {"files": _edges(urls)}}
                return {"project": {"artifactCollection": {"__typename": "ArtifactSequence", **membership}}}
        return None

    def _of_views(self, operation: str, sent: dict[str, Any]) -> dict[str, Any] | None:
        match operation:
            case "UpsertView2" | "UpsertView" | "upsertView":
                id = sent.get("id") or b64encode(f"View:{len(self.views)}".encode()).decode()
                inserted = id not in self.views
                self.views[id] = sent
                self.saved += 1
                view = self._view(id)
                return {"upsertView": {"view": view, "inserted": inserted}}
            case "SpecificReport":
                return {"view": self._view(sent["reportId"]) if sent["reportId"] in self.views else None}
            case "View":
                found = [
                    {"node": {"id": id, "displayName": view["displayName"], "spec": view["spec"]}}
                    for id, view in self.views.items()
                    if view["name"] == sent["viewName"]
                ]
                return {"project": {"allViews": {"edges": found}}}
        return None

    def _view(self, id: str) -> dict[str, Any]:
        sent = self.views[id]
        view = {key: sent.get(key) for key in ("name", "displayName", "type", "description", "spec")}
        project = {"id": "project", "name": sent["projectName"], "entityName": sent["entityName"]}
        return view | {"id": id, "project": project, "updatedAt": TIME, "createdAt": TIME}

    def stream(self, id: str, sent: dict[str, Any]) -> None:
        """Take in a part of a run's stream of history and summary."""
        run, files = self.runs[id], sent.get("files") or {}
        run.history += [json.loads(line) for line in files.get("wandb-history.jsonl", {}).get("content", [])]
        for line in files.get("wandb-summary.json", {}).get("content", []):
            run.summary = json.loads(line)
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]

    def _projects(self) -> set[str]:
        return {run.sent["project"] for run in self.runs.values()}

    def _created(self, sent: dict[str, Any]) -> dict[str, Any]:
        """A new artifact, or where one of this name has the same content that one."""
        name, earlier = sent["artifactCollectionName"], None
        known = [one for one in self.artifacts.values() if one.name == name]
        for earlier in known:
            if earlier.digest == sent["digest"]:
                return {"id": earlier.id, "state": "COMMITTED", "artifactSequence": {"id": "", "latestArtifact": None}}
        artifact = Artifact(
            id=f"artifact{len(self.artifacts)}",
            name=name,
            type=sent["artifactTypeName"],
            project=sent["projectName"],
            run=sent["runName"],
            digest=sent["digest"],
            version=len(known),
            metadata=json.loads(sent.get("metadata") or "{}"),
        )
        self.artifacts[artifact.id] = artifact
        return {"id": artifact.id, "state": "PENDING", "artifactSequence": {"id": "", "latestArtifact": None}}

    def _file(self, owner: str, name: str) -> dict[str, Any]:
        path = f"{owner}/{name}"
        upload = {"uploadUrl": f"{self.url}/{path}", "uploadHeaders": [], "uploadMultipartUrls": None}
        return {"id": path, "name": name, "displayName": name, "storagePath": path, **upload}

    def _resumed(self, run: Run) -> dict[str, Any]:
        counts = {"historyLineCount": len(run.history), "eventsLineCount": 0, "logLineCount": 0}
        tails = {"historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]), "eventsTail": "[]"}
        state = {"summaryMetrics": json.dumps(run.summary), "config": json.dumps(run.config), "wandbConfig": '{"t": 1}'}
        names = {"id": run.id, "name": run.id, "displayName": run.sent["displayName"], "tags": run.sent.get("tags", [])}
        return {**counts, **tails, **state, **names, "createdAt": TIME, "projectId": 1}

    def _described(self, run: Run) -> dict[str, Any]:
        return {
            **self._resumed(run),
            "state": "running" if run.exit_code is None else "failed" if run.exit_code else "finished",
            "group": run.sent.get("groupName"),
            "jobType": run.sent.get("jobType"),
            "sweepName": None,
            "commit": None,
            "readOnly": False,
            "heartbeatAt": TIME,
            "description": "",
            "notes": "",
            "systemMetrics": "{}",
            "projectId": "1",
            "historyKeys": {},
            "user": {"name": "user", "username": "user"},
            "project": _project(run.sent["project"]),
        }

    def _collection(self, artifact: Artifact) -> dict[str, Any]:
        names = {"id": artifact.name, "name": artifact.name}
        return {"__typename": "ArtifactSequence", **names, "project": _project(artifact.project)}

    def _aliases(self, artifact: Artifact) -> list[dict[str, Any]]:
        latest = max(one.version for one in self.artifacts.values() if one.name == artifact.name) == artifact.version
        return [
            {
                "__typename": "ArtifactAlias",
                "id": alias,
                "alias": alias,
                "artifactCollection": self._collection(artifact),
            }
            for alias in (f"v{artifact.version}", *(["latest"] if latest else []))
        ]

    def _artifact(self, artifact: Artifact) -> dict[str, Any]:
        return {
            "__typename": "Artifact",
            "id": artifact.id,
            "artifactSequence": self._collection(artifact),
            "versionIndex": artifact.version,
            "artifactType": {"name": artifact.type},
            "description": None,
            "metadata": json.dumps(artifact.metadata),
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": "COMMITTED",
            "size": sum(len(self.uploads.get(path, b"")) for path in artifact.files.values()),
            "digest": artifact.digest,
            "commitHash": artifact.digest,
            "fileCount": len(artifact.files),
            "createdAt": TIME,
            "updatedAt": TIME,
            "aliases": self._aliases(artifact),
        }

    def _membership(self, artifact: Artifact) -> dict[str, Any]:
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": artifact.id,
            "versionIndex": artifact.version,
            "createdAt": TIME,
            "aliases": self._aliases(artifact),
            "artifactCollection": self._collection(artifact),
            "artifact": self._artifact(artifact),
        }


def _project(name: str) -> dict[str, Any]:
    entity = {"entityName": ENTITY, "entity": {"id": ENTITY, "name": ENTITY}}
    dates = {"createdAt": TIME, "isBenchmark": False, "user": None}
    return {"__typename": "Project", "id": "project", "internalId": "1", "name": name, **entity, **dates}


def _edges(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
    return {"edges": [{"node": node, "cursor": str(number)} for number, node in enumerate(nodes)], "pageInfo": page}


def _matches(run: Run, asked: dict[str, Any]) -> bool:
    """Whether a run is among those of a filter by id and job type."""
    has = {"name": run.id, "jobType": run.sent.get("jobType")}
    return all(has[key] in want["$in"] if isinstance(want, dict) else has[key] == want for key, want in asked.items())


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def parse_request(self) -> bool:
            return not server.lost and super().parse_request()

        def do_POST(self) -> None:
            sent = json.loads(self._body())
            with server.lock:
                if self.path == "/graphql":
                    operation = re.search(r"(query|mutation)\s+(\w+)", sent["query"])[2]
                    server.lost = server.lost or operation == server.lost_at
                    if server.lost:
                        return
                    server.changes += "mutation" in sent["query"]
                    data = server.answer(operation, sent.get("variables") or {})
                    if data is None:
                        server.unknown.append(operation)
                    errors = {} if data is not None else {"errors": [{"message": f"unknown operation {operation}"}]}
                    self._reply(json.dumps({"data": data, **errors}).encode())
                else:
                    server.stream(self.path.split("/")[-2], sent)
                    self._reply(b"{}")

        def do_PUT(self) -> None:
            server.uploads[self.path.removeprefix("/")] = self._body()
            self._reply(b"")

        def do_GET(self) -> None:
            data = server.uploads.get(self.path.removeprefix("/"))
            if data is None:
                server.unknown.append(self.path)
            self._reply(data or b"", 404 if data is None else 200)

        def log_message(self, *arguments: object) -> None:
            pass

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def _reply(self, content: bytes, code: int = 200) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
