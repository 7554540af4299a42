"""The only vocabulary: things, synonyms, rooms, colours, relations, filler words. Knows no grammar and no maps.

Instructions, questions to the memory and perception's labels are all interpreted by it, so that a word means the same
everywhere. An instruction may contain only these words and the labels in the memory, whichever back end gave those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache

from .languages import other_colors, other_rooms, other_things


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


#: Kinds of rooms, each with all words for it.
ROOM_WORDS = {
    "living room": ("living room", "lounge", "sitting room", "family room"),
    "kitchen": ("kitchen", "kitchenette"),
    "bedroom": ("bedroom", "sleeping room"),
    "bathroom": ("bathroom", "bath room", "washroom", "restroom", "toilet room"),
    "office": ("office", "study", "home office", "workroom"),
    "dining room": ("dining room", "eating room"),
    "hallway": ("hallway", "corridor", "hall", "entrance hall", "entrance", "entryway"),
    "nursery": ("nursery", "children's room", "childrens room", "kids room", "kid's room", "playroom", "child's room"),
    "laundry room": ("laundry room", "laundry", "utility room"),
    "storage room": ("storage room", "storage", "storeroom", "store room", "pantry"),
    "library": ("library", "reading room"),
    "gym": ("gym", "fitness room", "exercise room"),
}

#: Labels (the words that perception and the simulator use) with other words for the same category.
OTHER_WORDS = {
    "armchair": ("easy chair", "recliner"),
    "bathtub": ("bath", "bath tub", "tub"),
    "bookshelf": ("bookcase", "book shelf"),
    "cabinet": ("cupboard",),
    "chair": ("seat",),
    "coffee machine": ("coffee maker", "espresso machine"),
    "coffee table": ("couch table",),
    "copier": ("photocopier",),
    "crib": ("cradle",),
    "desk": ("writing desk", "writing table", "bureau"),
    "dresser": ("chest of drawers",),
    "elevator": ("lift",),
    "faucet": ("tap",),
    "fire extinguisher": ("extinguisher",),
    "fish tank": ("aquarium",),
    "hair dryer": ("hair drier",),
    "handbag": ("purse",),
    "lamp": ("light", "floor lamp", "standing lamp"),
    "loudspeaker": ("speaker",),
    "nightstand": ("night stand", "bedside table", "night table"),
    "office chair": ("desk chair", "swivel chair"),
    "oven": ("stove", "cooker", "range"),
    "phone": ("telephone", "cell phone", "mobile phone"),
    "picture": ("painting",),
    "plant": ("potted plant", "houseplant", "flower"),
    "range hood": ("oven hood", "stove hood"),
    "refrigerator": ("fridge", "freezer"),
    "remote control": ("remote",),
    "rug": ("carpet", "mat", "doormat"),
    "sofa": ("couch", "settee", "loveseat"),
    "stairs": ("staircase",),
    "toilet": ("wc", "lavatory", "loo"),
    "trash can": (
        "bin", "trash bin", "waste bin", "rubbish bin", "garbage bin", "dustbin", "garbage can", "waste basket",
        "wastebasket",
    ),
    "tv": ("television", "tv set", "telly", "tv monitor"),
    "wardrobe": ("closet", "armoire"),
    "washbasin": ("wash basin", "basin", "hand basin"),
    "washing machine": ("washer",),
}  # fmt: skip
#: Other word -> label.
SYNONYMS = {word: label for label, words in OTHER_WORDS.items() for word in words}

#: Colour names, with other words for each. Their order is that of the indices of ``perception.color_names``.
COLOR_WORDS = {
    "red": ("crimson", "scarlet"), "green": (), "blue": ("azure", "navy"), "yellow": ("golden",), "orange": (),
    "purple": ("violet", "lilac"), "pink": (), "brown": ("beige", "tan"), "black": (), "white": (), "gray": ("grey",),
    "turquoise": ("teal", "cyan", "aqua"),
}  # fmt: skip
COLORS = tuple(COLOR_WORDS)
COLOR_SYNONYMS = {word: color for color, words in COLOR_WORDS.items() for word in words}

#: Phrase -> how one thing stands to another, or in a room.
RELATIONS = {
    "to the left of": "left of", "on the left of": "left of", "left of": "left of",
    "to the right of": "right of", "on the right of": "right of", "right of": "right of",
    "in front of": "in front of", "before": "in front of", "behind": "behind", "in back of": "behind",
    "on top of": "on", "standing on": "on", "lying on": "on", "on": "on", "upon": "on",
    "underneath": "under", "beneath": "under", "below": "under", "under": "under", "above": "above", "over": "above",
    "next to": "beside", "beside": "beside", "besides": "beside", "alongside": "beside", "adjacent to": "beside",
    "against": "beside", "by": "near", "near to": "near", "close to": "near", "near": "near", "at": "near",
    "around": "near", "at the foot of": "near", "with": "near", "opposite": "opposite", "across from": "opposite",
    "between": "between", "in": "in", "inside": "in", "within": "in",
}  # fmt: skip

#: Furnishings of homes and offices; each is a category in its own right, not a subtype ("office chair").
_FURNISHINGS = """
    armchair, bar stool, bathtub, bed, bench, bookshelf, box, cabinet, chair, coat rack, coffee table, computer,
    console table, counter, crib, curtain, desk, dining table, dishwasher, dresser, exercise bike, filing cabinet,
    fireplace, kitchen cabinet, kitchen counter, kitchen island, lamp, laundry basket, microwave, mirror, monitor,
    nightstand, office chair, ottoman, oven, piano, picture, plant, printer, refrigerator, rug, shelf, shoe cabinet,
    shoe rack, shower, sideboard, sink, sofa, stool, toilet, towel rack, toy box, trash can, treadmill, tv, tv
    stand, umbrella stand, wardrobe, washbasin, washing machine
"""

#: Other things in buildings, among them the classes of COCO that stand indoors.
_THINGS = """
    air conditioner, alarm clock, apple, backpack, bag, ball, banana, banister, barrel, basket, beam, beanbag,
    bicycle, bird, blanket, blender, blinds, board, book, bottle, bowl, bread, broom, brush, bucket, bunk bed,
    button, cabin, cake, camera, candle, car, cardboard box, carrot, cart, cat, ceiling fan, ceiling lamp,
    chalkboard, chandelier, charger, charging station, chest, clock, clothes, coat, coffee machine, column,
    conference table, copier, cup, cushion, daybed, desk lamp, dining chair, dish, dishes, display, docking station,
    dog, door, doorway, drawer, drinking fountain, dryer, easel, elevator, exit, exit sign, fan, faucet, fire
    extinguisher, first aid kit, fish tank, flag, folding chair, fork, fruit bowl, futon, game controller, garbage
    bag, glass, globe, guitar, hair dryer, handbag, handrail, hat, headboard, heater, helmet, iron, ironing board,
    jacket, jar, jug, kettle, key, keyboard, knife, ladder, laptop, light switch, locker, loudspeaker, machine,
    magazine, mailbox, mattress, medicine cabinet, mop, mouse, mug, napkin, newspaper, notebook, package, pallet,
    pan, paper, parcel, partition, patient bed, person, phone, photo, pillar, pillow, pizza, plate, pool table,
    post, poster, pot, power outlet, projector, radiator, railing, range hood, reception, reception desk, remote
    control, rocking chair, sandwich, scale, scissors, screen, screwdriver, server rack, sewing machine, shirt,
    shoe, shower curtain, side table, sign, skateboard, soap, soap dispenser, socket, spoon, stairs, stapler,
    stereo, stroller, suitcase, table, table lamp, teapot, teddy bear, tennis racket, tie, toaster, toilet paper,
    tool, toolbox, toothbrush, towel, toy, tray, trolley, umbrella, urn, vacuum cleaner, vase, vending machine,
    walker, wall clock, water cooler, water dispenser, wheelchair, whiteboard, window, wine glass, workbench
"""

#: Labels that a sentence may name.
FURNISHINGS = frozenset(" ".join(thing.split()) for thing in _FURNISHINGS.split(","))
LABELS = FURNISHINGS | frozenset(" ".join(thing.split()) for thing in _THINGS.split(","))

#: Words without influence on the target. A word that changes the meaning must never be added here.
FILLERS = word_set("""
    please kindly now then first finally next last just also again once immediately hey hi hello ok okay robot
    i i'd i'm we you it them one us me my your our his her their its the a an some any this that these those
    want would like need should can could will shall must may let lets let's have has be is are to of for with so
    there here up out room place
    find go goto get walk drive move head navigate come proceed look search seek locate reach visit show bring
    take approach stop halt stand wait end arrive enter sit rest on onto towards toward at by in into inside near
    beside besides down straight directly back over
""")

#: Words of politeness and manner that instructions may hold besides the fillers, without influence on what is meant.
COURTESY = word_set("""
    hiya greetings dear buddy mate friend sir madam thanks thank cheers sorry thx pls plz teh
    help guide lead escort wanna gonna gotta lemme gimme make try spot position yourself park travel return locate
    trip visiting looking going finding heading driving walking searching check see wish know which
    be been being am was way quick quickly slowly slow carefully gently quietly safely soon fast asap instantly promptly
    swiftly immediately currently really very much kind nice possible possibly maybe perhaps that's it's there's
    we're you're i've forward ahead well alright great good morning afternoon evening today tonight urgently quite
    simply actually basically um uh er hmm your destination target goal patrol patrolling
""")

#: Places that are neither things nor rooms, each with all words for it.
PLACE_WORDS = {
    "start": (
        "home", "back home", "where i started", "where you started", "where we started", "where you began",
        "where you came from", "where we began", "where we came from", "where you were", "where you were before",
        "starting point", "starting position", "starting place", "start point", "start position", "start",
        "initial position", "beginning", "home position", "home base",
    ),
}  # fmt: skip
#: Labels of passages between rooms, which a map of rooms knows even where perception names none.
PASSAGES = ("door", "doorway")

#: Word -> which one of several.
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "6th": 6,
}  # fmt: skip
#: Which one of several by distance, size or what was visited before, each with all words for it.
RANK_WORDS = {
    "nearest": ("nearest", "closest"),
    "farthest": ("farthest", "furthest", "remotest"),
    "biggest": ("biggest", "largest", "bigger", "larger", "hugest"),
    "smallest": ("smallest", "littlest", "tiniest", "smaller"),
    "other": ("other", "another", "different"),
    "last": ("last",),
}
RANKS = {word: rank for rank, words in RANK_WORDS.items() for word in words}

#: Words for a person in a condition ("if somebody is in it").
ANYBODY = word_set("somebody someone anybody anyone people persons person human humans")

#: Negations and limitations. What they exclude must be understood, or the sentence is refused.
NEGATIONS = word_set("""
    not no never none nobody nothing nowhere neither nor without except excluding excepting but avoid avoiding unless
    skip ignore ignoring forget cancel abort refuse don't dont doesn't doesnt didn't didnt isn't isnt aren't arent can't
    cant cannot won't wont shouldn't shouldnt mustn't mustnt wouldn't wouldnt couldn't couldnt wasn't wasnt ain't aint
    needn't neednt away instead rather other otherwise beware keep keeping hardly non if only apart aside omit until
    nicht kein keine keinen niemals ohne außer ne pas jamais sans sauf sin nunca excepto evita evitar senza mai
    nein nie
""")


#: Families of categories: what is named as the nearest match where nothing of the category itself was found.
KIN = tuple(
    frozenset(" ".join(label.split()) for label in family.split(","))
    for family in (
        "sofa, armchair, chair, bench, stool, bar stool, ottoman, office chair, dining chair, rocking chair, "
        "beanbag, daybed",
        "bed, crib, bunk bed, daybed, futon, mattress, patient bed",
        "table, dining table, coffee table, side table, console table, desk, conference table, "
        "kitchen island, nightstand",
        "bookshelf, shelf, cabinet, wardrobe, dresser, sideboard, filing cabinet, kitchen cabinet, shoe cabinet, "
        "shoe rack, locker, tv stand",
        "lamp, desk lamp, table lamp, ceiling lamp, chandelier, candle",
        "tv, monitor, screen, display, computer, laptop, projector",
        "sink, washbasin, bathtub, shower, toilet",
        "oven, microwave, refrigerator, dishwasher, toaster, coffee machine, kettle, washing machine, dryer",
        "plant, vase", "picture, poster, photo, mirror, board, whiteboard",
        "cup, mug, glass, bottle, jug, bowl, pot, pan",
        "box, toy box, basket, laundry basket, trash can, chest, bucket", "curtain, blinds, window",
        "cat, dog, bird", "piano, guitar", "treadmill, exercise bike, bicycle", "bag, backpack, handbag, suitcase",
        "door, doorway", "rug, towel, blanket", "coat rack, umbrella stand, towel rack",
    )
)  # fmt: skip

#: Modifiers of a colour.
SHADES = ("light", "dark", "bright", "pale")


def is_negation(word: str) -> bool:
    """Whether a word negates or limits."""
    return word in NEGATIONS or word.endswith("n't")


def canonical(label: str) -> str:
    """The vocabulary's label for one that a back end gave: "TV_monitor" is "tv"; unknown ones in lower case."""
    label = " ".join(label.lower().replace("_", " ").split())
    return SYNONYMS.get(label, label)


def known_label(phrase: str, more: Collection[str] = ()) -> str:
    """The category that a phrase of one or more words names, "" where it names none.

    Args:
        phrase: lower case, without articles and colours.
        more: further known labels, such as those in the memory.
    """
    for form in _singulars(phrase):
        if form in SYNONYMS:
            return SYNONYMS[form]
        if form in LABELS or form in more:
            return form
    return other_things().get(phrase, "")


def known_color(word: str) -> str:
    """The colour that a word names, "" where it names none."""
    word = COLOR_SYNONYMS.get(word, word)
    return word if word in COLOR_WORDS else other_colors().get(word, "")


def known_room(phrase: str) -> str:
    """The kind of room that a phrase names, "" where it names none."""
    for form in (phrase, phrase.removesuffix("s")):
        for kind, names in ROOM_WORDS.items():
            if form in names:
                return kind
    return other_rooms().get(phrase, "")


def known_place(phrase: str) -> str:
    """The place that a phrase names, "" where it names none."""
    return next((place for place, names in PLACE_WORDS.items() if phrase in names), "")


@lru_cache(maxsize=1)
def every_word() -> frozenset[str]:
    """All single English words of things, rooms, colours and relations."""
    rooms = (name for names in ROOM_WORDS.values() for name in names)
    tables: tuple[Iterable[str], ...] = (LABELS, SYNONYMS, rooms, COLORS, COLOR_SYNONYMS, RELATIONS)
    return frozenset(word for table in tables for name in table for word in name.split())


def _singulars(phrase: str) -> Iterable[str]:
    """The phrase, and its possible singular forms."""
    yield phrase
    for ending, single in (("ves", "f"), ("ves", "fe"), ("ies", "y"), ("es", ""), ("s", "")):
        if phrase.endswith(ending) and len(phrase) > len(ending) + 2:
            yield phrase[: -len(ending)] + single
