"""From settings to backends."""

import subprocess
import sys
from pathlib import Path

from cloudserve.core.config import DataFolder
from cloudserve.core.connections import Connections
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.objects.minio import S3Objects
from cloudserve.core.opening import objects_of

ROOT = Path(__file__).parents[3]


def test_objects_are_in_the_folder_unless_a_server_is_named(tmp_path: Path) -> None:
    """And then in its bucket; neither is opened yet."""
    folder = DataFolder(tmp_path)
    assert isinstance(objects_of(Connections(), folder), FilesystemObjects)
    named = Connections(s3_endpoint="http://127.0.0.1:1", s3_access_key="key", s3_secret_key="secret")
    assert isinstance(objects_of(named, folder), S3Objects)
    assert list(tmp_path.iterdir()) == []


def test_the_library_of_a_server_is_imported_where_there_is_one(tmp_path: Path) -> None:
    """A platform in a folder starts without it."""
    program = (
        "import pathlib, sys;"
        "from cloudserve.core import config, connections, opening;"
        "opening.objects_of(connections.Connections(), config.DataFolder(pathlib.Path(sys.argv[1])));"
        "sys.exit('minio' in sys.modules or 'urllib3' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(ROOT / ".src")}
    subprocess.run([sys.executable, "-c", program, tmp_path], env=environment, check=True)
