"""CamVid as published: the layouts, the split, the 32 colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.classes import CAMVID_CLASSES
from training.data.camvid import COLOURS, FRAME_NAME, camvid, camvid32, standard_split
from training.data.clips import read_label
from training.data.labels import VOID, DataError

# label_colors.txt of the dataset's page, with the class that SegNet groups each under.
PUBLISHED = """
64 128 64 Animal Pedestrian | 192 0 128 Archway Building | 0 128 192 Bicyclist Bicyclist
0 128 64 Bridge Building | 128 0 0 Building Building | 64 0 128 Car Car
64 0 192 CartLuggagePram Pedestrian | 192 128 64 Child Pedestrian | 192 192 128 Column_Pole Pole
64 64 128 Fence Fence | 128 0 192 LaneMkgsDriv Road | 192 0 64 LaneMkgsNonDriv Road
128 128 64 Misc_Text SignSymbol | 192 0 192 MotorcycleScooter Bicyclist
128 64 64 OtherMoving Car | 64 192 128 ParkingBlock Pavement | 64 64 0 Pedestrian Pedestrian
128 64 128 Road Road | 128 128 192 RoadShoulder Pavement | 0 0 192 Sidewalk Pavement
192 128 128 SignSymbol SignSymbol | 128 128 128 Sky Sky | 64 128 192 SUVPickupTruck Car
0 0 64 TrafficCone Pole | 0 64 64 TrafficLight SignSymbol | 192 64 128 Train Car
128 128 0 Tree Tree | 192 128 192 Truck_Bus Car | 64 0 64 Tunnel Building
192 192 0 VegetationMisc Tree | 0 0 0 Void - | 64 192 0 Wall Building
"""
ROWS = [row.split() for line in PUBLISHED.strip().splitlines() for row in line.split("|")]
NAMES = [label.name for label in CAMVID_CLASSES]


def write(image: Path, label: Path, pixels: np.ndarray) -> None:
    for path in (image, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", pixels.shape[1::-1]).save(image)
    Image.fromarray(pixels).save(label)


def stills(root: Path, *names: str) -> Path:
    """The published layout with pictures of sky only."""
    sky = np.full((2, 3, 3), 128, np.uint8)
    for name in names:
        images, labels = root / "701_StillsRaw_full", root / "LabeledApproved_full"
        write(images / f"{name}.png", labels / f"{name}_L.png", sky)
    return root


def names(root: Path, split: str) -> list[str]:
    return [sample.image.stem for clip in camvid32(root, split) for sample in clip.samples]


def test_all_32_colours_have_their_class(tmp_path: Path) -> None:
    assert len(ROWS) == 32 and sum(map(len, COLOURS.values())) == 31
    assert list(COLOURS) == NAMES
    painted = np.array([[row[:3] for row in ROWS]], dtype=np.int64).astype(np.uint8)
    write(tmp_path / "train" / "a_000.png", tmp_path / "train_labels" / "a_000_L.png", painted)
    (clip,) = camvid32(tmp_path, "train")
    wanted = [VOID if row[4] == "-" else NAMES.index(row[4]) for row in ROWS]
    assert read_label(clip.samples[0]).tolist() == [wanted]


def test_without_lists_the_split_is_the_usual_one(tmp_path: Path) -> None:
    train = ["0001TP_008520", "0006R0_f00930", "0016E5_07950", "0016E5_08190"]
    stills(tmp_path, *train, "0016E5_07959", "0016E5_07961", "0001TP_008550", "Seq05VD_f00000")
    assert names(tmp_path, "train") == train
    assert names(tmp_path, "val") == ["0016E5_07959", "0016E5_07961"]
    assert names(tmp_path, "test") == ["0001TP_008550", "Seq05VD_f00000"]
    assert camvid32(tmp_path, "val")[0].dense


def test_lists_decide_where_there_are_any(tmp_path: Path) -> None:
    stills(tmp_path, "0001TP_006690", "Seq05VD_f00000")
    (tmp_path / "val.txt").write_text("images/Seq05VD_f00000.png labels/Seq05VD_f00000_L.png\n\n")
    assert names(tmp_path, "val") == ["Seq05VD_f00000"]
    with pytest.raises(DataError, match=r"train\.txt is missing"):
        camvid32(tmp_path, "train")
    (tmp_path / "val.txt").write_text("0001TP_000000\n")
    with pytest.raises(DataError, match="lists 0001TP_000000"):
        camvid32(tmp_path, "val")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="701_StillsRaw_full is missing"):
        camvid32(tmp_path, "train")
    stills(tmp_path, "0001TP_006690")
    label = tmp_path / "LabeledApproved_full" / "0001TP_006690_L.png"
    label.unlink()
    with pytest.raises(DataError, match=r"has no label .*0001TP_006690_L\.png"):
        camvid32(tmp_path, "train")
    label.parent.rmdir()
    with pytest.raises(DataError, match="LabeledApproved_full is missing"):
        camvid32(tmp_path, "train")


@pytest.mark.data
@pytest.mark.parametrize(("split", "size"), [("train", 367), ("val", 101), ("test", 233)])
def test_the_usual_split_is_segnets(data: Path, split: str, size: int) -> None:
    """SegNet's folders decide; our rule says the same of every picture in them."""
    clips = camvid(data / "camvid", split)
    stems = [sample.image.stem for clip in clips for sample in clip.samples]
    places = [FRAME_NAME.match(stem) for stem in stems]
    said = {standard_split(p["sequence"], int(p["number"])) for p in places if p}
    assert said == {split} and len(stems) == size
    assert all(clip.dense == (split == "val") for clip in clips)
