//! Rooms and devices, and what people call them.

/// A room, and its names.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) name: &'static str,
    /// What stands before its name in a phrase of place; empty for adverbs ("upstairs").
    pub(super) pp: &'static str,
    pub(super) words: &'static [&'static str],
}

impl Room {
    /// Whether its name is a noun.
    pub(super) const fn is_place(&self) -> bool {
        !self.pp.is_empty()
    }
}

const fn room(name: &'static str, pp: &'static str, words: &'static [&'static str]) -> Room {
    Room { name, pp, words }
}

pub(super) const ROOMS: [Room; 20] = [
    room("kitchen", "in the", &["kitchen", "kitchen", "kitchen", "kitchenette", "cooking area"]),
    room(
        "bedroom",
        "in the",
        &["bedroom", "bedroom", "bedroom", "master bedroom", "sleeping room", "bed room", "main bedroom"],
    ),
    room(
        "living_room",
        "in the",
        &[
            "living room",
            "living room",
            "livingroom",
            "lounge",
            "sitting room",
            "front room",
            "family room",
            "den",
            "parlour",
        ],
    ),
    room(
        "bathroom",
        "in the",
        &["bathroom", "bathroom", "bath", "toilet", "shower", "washroom", "restroom", "loo", "bath room"],
    ),
    room(
        "hall",
        "in the",
        &["hall", "hallway", "corridor", "entrance", "entryway", "foyer", "passage", "hall"],
    ),
    room("office", "in the", &["office", "study", "home office", "workroom", "office", "work room"]),
    room("garage", "in the", &["garage", "garage", "car port"]),
    room(
        "garden",
        "in the",
        &["garden", "yard", "backyard", "garden", "back yard", "back garden", "front yard"],
    ),
    room(
        "nursery",
        "in the",
        &[
            "nursery",
            "kids room",
            "kid's room",
            "kids' room",
            "children's room",
            "baby's room",
            "baby room",
            "playroom",
            "child's room",
        ],
    ),
    room("dining_room", "in the", &["dining room", "dining room", "dining area", "diningroom"]),
    room("basement", "in the", &["basement", "cellar", "basement"]),
    room("attic", "in the", &["attic", "loft", "attic"]),
    room(
        "guest_room",
        "in the",
        &[
            "guest room",
            "spare room",
            "guest bedroom",
            "spare bedroom",
            "guestroom",
            "guest room",
            "visitor room",
        ],
    ),
    room("balcony", "on the", &["balcony", "terrace", "patio", "deck", "porch", "veranda", "balcony"]),
    room("laundry_room", "in the", &["laundry room", "laundry", "utility room", "utility", "utility room"]),
    room("stairs", "on the", &["stairs", "staircase", "stairway", "landing", "stairs"]),
    room(
        "upstairs",
        "",
        &["upstairs", "upstairs", "on the first floor", "on the upper floor", "on the top floor"],
    ),
    room("downstairs", "", &["downstairs", "downstairs", "on the ground floor", "on the lower floor"]),
    room("outside", "", &["outside", "outdoors", "outside", "out front"]),
    room(
        "all",
        "",
        &[
            "everywhere",
            "in the whole house",
            "in every room",
            "in all rooms",
            "throughout the house",
            "in all the rooms",
            "around the house",
            "in the entire house",
            "all over the house",
        ],
    ),
];

/// What a device can be told.
#[derive(Clone, Copy)]
pub(super) struct Device {
    pub(super) name: &'static str,
    /// Nouns in the singular, or without number.
    pub(super) words: &'static [&'static str],
    /// Nouns in the plural.
    pub(super) plurals: &'static [&'static str],
    /// Rooms that it is found in: any, or none said.
    pub(super) in_rooms: bool,
    pub(super) actions: &'static [&'static str],
    /// How often it is spoken of.
    pub(super) weight: usize,
}

const ON_OFF: &[&str] = &["on", "off"];

const fn device(
    name: &'static str,
    weight: usize,
    in_rooms: bool,
    words: &'static [&'static str],
    plurals: &'static [&'static str],
    actions: &'static [&'static str],
) -> Device {
    Device { name, words, plurals, in_rooms, actions, weight }
}

pub(super) const DEVICES: [Device; 29] = [
    device(
        "light",
        30,
        true,
        &[
            "light",
            "light",
            "lamp",
            "lighting",
            "bulb",
            "light bulb",
            "ceiling light",
            "bedside lamp",
            "reading lamp",
            "night light",
            "spotlight",
            "chandelier",
            "lantern",
            "floor lamp",
            "desk lamp",
            "led strip",
        ],
        &[
            "lights",
            "lights",
            "lights",
            "lamps",
            "bulbs",
            "ceiling lights",
            "spotlights",
            "leds",
            "fairy lights",
        ],
        &["on", "off", "set", "set", "up", "down", "color"],
    ),
    device(
        "heating",
        16,
        true,
        &[
            "heating",
            "heater",
            "radiator",
            "thermostat",
            "heat",
            "central heating",
            "space heater",
            "boiler",
            "floor heating",
            "underfloor heating",
        ],
        &["radiators", "heaters"],
        &["on", "off", "set", "set", "set", "up", "down"],
    ),
    device(
        "ac",
        9,
        true,
        &["ac", "air conditioning", "air conditioner", "aircon", "air con", "a/c", "AC", "cooling", "A/C"],
        &["air conditioners"],
        &["on", "off", "set", "up", "down"],
    ),
    device(
        "fan",
        8,
        true,
        &[
            "fan",
            "ceiling fan",
            "ventilator",
            "ventilation",
            "extractor fan",
            "exhaust fan",
            "fan",
            "extractor",
        ],
        &["fans"],
        &["on", "off", "set", "up", "down"],
    ),
    device(
        "tv",
        10,
        true,
        &["tv", "TV", "television", "telly", "tv set", "screen", "tele"],
        &["tvs", "televisions"],
        &["on", "off", "set", "up", "down", "mute", "unmute", "pause", "channel"],
    ),
    device(
        "speaker",
        12,
        true,
        &[
            "music",
            "speaker",
            "stereo",
            "radio",
            "sound system",
            "song",
            "playlist",
            "audio",
            "hifi",
            "soundbar",
        ],
        &["speakers", "tunes"],
        &["on", "off", "set", "up", "down", "mute", "unmute", "pause", "next"],
    ),
    device(
        "blinds",
        12,
        true,
        &["blind", "curtain", "shade", "shutter", "roller blind", "awning", "drape"],
        &["blinds", "curtains", "shades", "drapes", "shutters", "roller shutters", "window shades", "blinds"],
        &["open", "close", "set"],
    ),
    device("window", 6, true, &["window", "skylight", "window"], &["windows"], &["open", "close"]),
    device("door", 5, true, &["door"], &["doors"], &["open", "close", "lock", "unlock"]),
    device(
        "front_door",
        5,
        false,
        &["front door", "main door", "entrance door", "front door"],
        &[],
        &["open", "close", "lock", "unlock", "lock"],
    ),
    device(
        "back_door",
        3,
        false,
        &["back door", "rear door", "patio door", "back door", "garden door"],
        &[],
        &["open", "close", "lock", "unlock"],
    ),
    device(
        "garage_door",
        4,
        false,
        &["garage door", "garage gate"],
        &["garage doors"],
        &["open", "close", "lock", "unlock"],
    ),
    device(
        "gate",
        3,
        false,
        &["gate", "front gate", "garden gate", "driveway gate"],
        &["gates"],
        &["open", "close", "lock", "unlock"],
    ),
    device("oven", 4, false, &["oven", "stove", "cooker"], &[], &["on", "off", "set", "set"]),
    device("kettle", 3, false, &["kettle", "water boiler", "electric kettle"], &[], ON_OFF),
    device(
        "coffee_machine",
        4,
        false,
        &["coffee machine", "coffee maker", "espresso machine", "coffeemaker", "coffee pot"],
        &[],
        ON_OFF,
    ),
    device("dishwasher", 3, false, &["dishwasher", "dish washer"], &[], &["on", "off", "pause"]),
    device(
        "washer",
        4,
        false,
        &["washing machine", "washer", "laundry machine", "clothes washer"],
        &[],
        &["on", "off", "pause"],
    ),
    device(
        "dryer",
        3,
        false,
        &["dryer", "tumble dryer", "clothes dryer", "drier"],
        &[],
        &["on", "off", "pause"],
    ),
    device(
        "vacuum",
        5,
        true,
        &["vacuum", "vacuum cleaner", "hoover", "robot vacuum", "roomba", "cleaning robot", "robot cleaner"],
        &[],
        &["on", "off", "pause"],
    ),
    device(
        "sprinkler",
        4,
        false,
        &["sprinkler", "irrigation", "lawn sprinkler", "watering system", "sprinkler system"],
        &["sprinklers"],
        ON_OFF,
    ),
    device("humidifier", 3, true, &["humidifier", "air humidifier"], &[], &["on", "off", "set"]),
    device("dehumidifier", 2, true, &["dehumidifier"], &[], ON_OFF),
    device(
        "air_purifier",
        2,
        true,
        &["air purifier", "purifier", "air cleaner", "air filter"],
        &[],
        &["on", "off", "set"],
    ),
    device(
        "socket",
        4,
        true,
        &["socket", "plug", "outlet", "power outlet", "smart plug", "power strip", "wall socket"],
        &["sockets", "plugs", "outlets"],
        ON_OFF,
    ),
    device(
        "security",
        4,
        false,
        &[
            "security system",
            "burglar alarm",
            "alarm system",
            "security",
            "house alarm",
            "home security",
            "security alarm",
        ],
        &[],
        ON_OFF,
    ),
    device(
        "camera",
        3,
        true,
        &["camera", "security camera", "cam", "video camera", "webcam"],
        &["cameras", "security cameras"],
        ON_OFF,
    ),
    device(
        "alarm",
        7,
        false,
        &["alarm", "alarm clock", "wake up alarm", "wake-up alarm"],
        &["alarms"],
        &["set", "set", "set", "off"],
    ),
    device(
        "timer",
        7,
        false,
        &["timer", "kitchen timer", "countdown", "egg timer"],
        &["timers"],
        &["set", "set", "set", "off", "pause"],
    ),
];

/// What "everything" is called; it can be turned on and off.
pub(super) const EVERYTHING: &[&str] = &[
    "everything",
    "all devices",
    "all the devices",
    "every device",
    "all appliances",
    "all the electronics",
    "the power",
];

pub(super) const COLORS: [(&str, &str); 16] = [
    ("red", "red"),
    ("green", "green"),
    ("blue", "blue"),
    ("yellow", "yellow"),
    ("orange", "orange"),
    ("purple", "purple"),
    ("pink", "pink"),
    ("white", "white"),
    ("warm_white", "warm white"),
    ("purple", "violet"),
    ("cyan", "cyan"),
    ("warm_white", "soft white"),
    ("cool_white", "cool white"),
    ("cool_white", "cold white"),
    ("cyan", "turquoise"),
    ("red", "dark red"),
];
