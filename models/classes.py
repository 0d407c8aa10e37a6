"""The classes, colours and licence of each dataset."""

from __future__ import annotations

from dataclasses import dataclass

from models.spec import ClassLabel


@dataclass(frozen=True, slots=True)
class Dataset:
    """The parts of a model's spec about the dataset that it was trained on."""

    name: str
    licence: str
    classes: tuple[ClassLabel, ...]


def spread_colour(index: int) -> tuple[int, int, int]:
    """Return a distinct RGB colour for each index in 0..255: PASCAL VOC's colour map.

    It is for classes that have no colour of their own. Bits 0, 1, 2 of the index are the highest
    bits of red, green and blue; bits 3, 4, 5 are the next ones.
    """
    channels = [0, 0, 0]
    for bit in range(8):
        channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
    red, green, blue = channels
    return red, green, blue


CAMVID_CLASSES = (
    ClassLabel("Sky", (128, 128, 128)),
    ClassLabel("Building", (128, 0, 0)),
    ClassLabel("Pole", (192, 192, 128)),
    ClassLabel("Road", (128, 64, 128)),
    ClassLabel("Pavement", (60, 40, 222)),
    ClassLabel("Tree", (128, 128, 0)),
    ClassLabel("SignSymbol", (192, 128, 128)),
    ClassLabel("Fence", (64, 64, 128)),
    ClassLabel("Car", (64, 0, 128)),
    ClassLabel("Pedestrian", (64, 64, 0)),
    ClassLabel("Bicyclist", (0, 128, 192)),
)

# In the order of the masks' ids 1 to 124. The names are those of VIPSeg, which labels the same
# classes in the same videos (panoVIPSeg_categories.json), in lower case.
_VSPW_NAMES = """
wall ceiling door stair ladder escalator playground_slide handrail_or_fence window rail goal
pillar pole floor ground grass sand athletic_field road path crosswalk building house bridge tower
windmill well_or_well_lid other_construction sky mountain stone wood ice snowfield grandstand sea
river lake waterfall water billboard_or_bulletin_board sculpture pipeline flag parasol_or_umbrella
cushion_or_carpet tent roadblock car bus truck bicycle motorcycle wheeled_machine ship_or_boat
raft airplane tyre traffic_light lamp person cat dog horse cattle other_animal tree flower
other_plant toy ball_net backboard skateboard bat ball cupboard_or_showcase_or_storage_rack box
traveling_case_or_trolley_case basket bag_or_package trash_can cage plate tub_or_bowl_or_pot
bottle_or_cup barrel fishbowl bed pillow table_or_desk chair_or_seat bench sofa shelf bathtub gun
commode roaster other_machine refrigerator washing_machine microwave_oven fan curtain textiles
clothes painting_or_poster mirror flower_pot_or_vase clock book tool blackboard tissue
screen_or_television computer printer mobile_phone keyboard other_electronic_product fruit food
instrument train
"""

VSPW_CLASSES = tuple(
    ClassLabel(name, spread_colour(index))
    for index, name in enumerate(_VSPW_NAMES.split(), start=1)
)
PERSON_CLASSES = (ClassLabel("rest", (0, 0, 0)), ClassLabel("person", (220, 20, 60)))

VSPW_NAME = "VSPW (Miao et al. 2021)"
# The masks come without a licence text. VIPSeg, the authors' panoptic labels of the same videos,
# is licensed for non-commercial research only.
VSPW_LICENCE = "non-commercial research only (terms: www.vspwdataset.com)"

CAMVID = Dataset("CamVid (Brostow et al. 2008, 2009)", "CC BY-NC 4.0", CAMVID_CLASSES)
VSPW = Dataset(VSPW_NAME, VSPW_LICENCE, VSPW_CLASSES)
VSPW_PERSON = Dataset(f"{VSPW_NAME}, person against the rest", VSPW_LICENCE, PERSON_CLASSES)

DATASETS = {"camvid": CAMVID, "camvid32": CAMVID, "vspw": VSPW, "vspw-person": VSPW_PERSON}
