"""The postal service's own words: USPS Publication 28 (Postal Addressing Standards), appendices B, C1 and C2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

STATES: Final[Mapping[str, str]] = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DE": "Delaware", "DC": "District of Columbia", "FL": "Florida", "GA": "Georgia",
    "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky",
    "LA": "Louisiana", "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota",
    "MS": "Mississippi", "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire",
    "NJ": "New Jersey", "NM": "New Mexico", "NY": "New York", "NC": "North Carolina", "ND": "North Dakota",
    "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania", "RI": "Rhode Island",
    "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont",
    "VA": "Virginia", "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming",
    "AS": "American Samoa", "FM": "Federated States of Micronesia", "GU": "Guam", "MH": "Marshall Islands",
    "MP": "Northern Mariana Islands", "PW": "Palau", "PR": "Puerto Rico", "VI": "Virgin Islands",
    "AA": "Armed Forces Americas", "AE": "Armed Forces Europe", "AP": "Armed Forces Pacific",
}  # fmt: skip
AP_STYLE: Final[Mapping[str, tuple[str, ...]]] = {
    "AL": ("Ala",), "AZ": ("Ariz",), "AR": ("Ark",), "CA": ("Calif", "Cal"), "CO": ("Colo",), "CT": ("Conn",),
    "DE": ("Del",), "DC": ("Washington DC", "Wash DC"), "FL": ("Fla",), "IL": ("Ill",), "IN": ("Ind",),
    "KS": ("Kan", "Kans"), "MD": (), "MA": ("Mass",), "MI": ("Mich",), "MN": ("Minn",), "MS": ("Miss",),
    "MT": ("Mont",), "NE": ("Neb", "Nebr"), "NV": ("Nev",), "NM": ("N Mex",), "NC": ("N Car",),
    "ND": ("N Dak",), "OK": ("Okla",), "OR": ("Ore", "Oreg"), "PA": ("Penn", "Penna"), "SC": ("S Car",),
    "SD": ("S Dak",), "TN": ("Tenn",), "TX": ("Tex",), "VA": ("Virg",), "WA": ("Wash",), "WV": ("W Va", "W Virginia"),
    "WI": ("Wis", "Wisc"), "WY": ("Wyo",), "VI": ("US Virgin Islands",),
}  # fmt: skip
"""The Associated Press's abbreviations and others that are common, beside the two letters."""

DIRECTIONS: Final[Mapping[str, str]] = {
    spelling: short
    for short, spellings in {
        "N": "N NORTH NO", "S": "S SOUTH SO", "E": "E EAST", "W": "W WEST",
        "NE": "NE NORTHEAST", "NW": "NW NORTHWEST", "SE": "SE SOUTHEAST", "SW": "SW SOUTHWEST",
    }.items()
    for spelling in spellings.split()
}  # fmt: skip

SUFFIXES: Final[Mapping[str, str]] = {
    spelling: short
    for short, spellings in {
        "ALY": "ALLEE ALLEY ALLY ALY", "ANX": "ANEX ANNEX ANNX ANX", "ARC": "ARC ARCADE",
        "AVE": "AV AVE AVEN AVENU AVENUE AVN AVNUE", "BYU": "BAYOO BAYOU", "BCH": "BCH BEACH", "BND": "BEND BND",
        "BLF": "BLF BLUF BLUFF", "BLFS": "BLUFFS", "BTM": "BOT BTM BOTTM BOTTOM",
        "BLVD": "BLVD BOUL BOULEVARD BOULV", "BR": "BR BRNCH BRANCH", "BRG": "BRDGE BRG BRIDGE",
        "BRK": "BRK BROOK", "BRKS": "BROOKS", "BG": "BURG", "BYP": "BYP BYPA BYPAS BYPASS BYPS",
        "CP": "CAMP CP CMP", "CYN": "CANYN CANYON CNYN", "CPE": "CAPE CPE", "CSWY": "CAUSEWAY CAUSWA CSWY",
        "CTR": "CEN CENT CENTER CENTR CENTRE CNTER CNTR CTR", "CTRS": "CENTERS",
        "CIR": "CIR CIRC CIRCL CIRCLE CRCL CRCLE", "CIRS": "CIRCLES", "CLF": "CLF CLIFF", "CLFS": "CLFS CLIFFS",
        "CLB": "CLB CLUB", "CMN": "COMMON", "CMNS": "COMMONS", "COR": "COR CORNER", "CORS": "CORNERS CORS",
        "CRSE": "COURSE CRSE", "CT": "COURT CT", "CTS": "COURTS CTS", "CV": "COVE CV", "CVS": "COVES",
        "CRK": "CREEK CRK", "CRES": "CRESCENT CRES CRSENT CRSNT", "CRST": "CREST", "XING": "CROSSING CRSSNG XING",
        "XRD": "CROSSROAD", "XRDS": "CROSSROADS", "CURV": "CURVE", "DL": "DALE DL", "DM": "DAM DM",
        "DV": "DIV DIVIDE DV DVD", "DR": "DR DRIV DRIVE DRV", "DRS": "DRIVES", "EST": "EST ESTATE",
        "ESTS": "ESTATES ESTS", "EXPY": "EXP EXPR EXPRESS EXPRESSWAY EXPW EXPY", "EXT": "EXT EXTENSION EXTN EXTNSN",
        "EXTS": "EXTS", "FALL": "FALL", "FLS": "FALLS FLS", "FRY": "FERRY FRRY FRY", "FLD": "FIELD FLD",
        "FLDS": "FIELDS FLDS", "FLT": "FLAT FLT", "FLTS": "FLATS FLTS", "FRD": "FORD FRD", "FRDS": "FORDS",
        "FRST": "FOREST FORESTS FRST", "FRG": "FORG FORGE FRG", "FRGS": "FORGES", "FRK": "FORK FRK",
        "FRKS": "FORKS FRKS", "FT": "FORT FRT FT", "FWY": "FREEWAY FREEWY FRWAY FRWY FWY",
        "GDN": "GARDEN GARDN GRDEN GRDN", "GDNS": "GARDENS GDNS GRDNS", "GTWY": "GATEWAY GATEWY GATWAY GTWAY GTWY",
        "GLN": "GLEN GLN", "GLNS": "GLENS", "GRN": "GREEN GRN", "GRNS": "GREENS", "GRV": "GROV GROVE GRV",
        "GRVS": "GROVES", "HBR": "HARB HARBOR HARBR HBR HRBOR", "HBRS": "HARBORS", "HVN": "HAVEN HVN",
        "HTS": "HT HTS HEIGHTS", "HWY": "HIGHWAY HIGHWY HIWAY HIWY HWAY HWY", "HL": "HILL HL", "HLS": "HILLS HLS",
        "HOLW": "HLLW HOLLOW HOLLOWS HOLW HOLWS", "INLT": "INLT INLET", "IS": "IS ISLAND ISLND",
        "ISS": "ISLANDS ISLNDS ISS", "ISLE": "ISLE ISLES", "JCT": "JCT JCTION JCTN JUNCTION JUNCTN JUNCTON",
        "JCTS": "JCTNS JCTS JUNCTIONS", "KY": "KEY KY", "KYS": "KEYS KYS", "KNL": "KNL KNOL KNOLL",
        "KNLS": "KNLS KNOLLS", "LK": "LK LAKE", "LKS": "LKS LAKES", "LAND": "LAND", "LNDG": "LANDING LNDG LNDNG",
        "LN": "LANE LN", "LGT": "LGT LIGHT", "LGTS": "LIGHTS", "LF": "LF LOAF", "LCK": "LCK LOCK",
        "LCKS": "LCKS LOCKS", "LDG": "LDG LDGE LODG LODGE", "LOOP": "LOOP LOOPS", "MALL": "MALL", "MNR": "MNR MANOR",
        "MNRS": "MANORS MNRS", "MDW": "MEADOW", "MDWS": "MDW MDWS MEADOWS MEDOWS", "MEWS": "MEWS", "ML": "MILL",
        "MLS": "MILLS", "MSN": "MISSN MSSN MISSION", "MTWY": "MOTORWAY", "MT": "MNT MT MOUNT",
        "MTN": "MNTAIN MNTN MOUNTAIN MOUNTIN MTIN MTN", "MTNS": "MNTNS MOUNTAINS", "NCK": "NCK NECK",
        "ORCH": "ORCH ORCHARD ORCHRD", "OVAL": "OVAL OVL", "OPAS": "OVERPASS", "PARK": "PARK PRK PARKS",
        "PKWY": "PARKWAY PARKWY PKWAY PKWY PKY PARKWAYS PKWYS", "PASS": "PASS", "PSGE": "PASSAGE",
        "PATH": "PATH PATHS", "PIKE": "PIKE PIKES", "PNE": "PINE", "PNES": "PINES PNES", "PL": "PL PLACE",
        "PLN": "PLAIN PLN", "PLNS": "PLAINS PLNS", "PLZ": "PLAZA PLZ PLZA", "PT": "POINT PT", "PTS": "POINTS PTS",
        "PRT": "PORT PRT", "PRTS": "PORTS PRTS", "PR": "PR PRAIRIE PRR", "RADL": "RAD RADIAL RADIEL RADL",
        "RAMP": "RAMP", "RNCH": "RANCH RANCHES RNCH RNCHS", "RPD": "RAPID RPD", "RPDS": "RAPIDS RPDS",
        "RST": "REST RST", "RDG": "RDG RDGE RIDGE", "RDGS": "RDGS RIDGES", "RIV": "RIV RIVER RVR RIVR",
        "RD": "RD ROAD", "RDS": "RDS ROADS", "RTE": "ROUTE", "ROW": "ROW", "RUE": "RUE", "RUN": "RUN",
        "SHL": "SHL SHOAL", "SHLS": "SHLS SHOALS", "SHR": "SHOAR SHORE SHR", "SHRS": "SHOARS SHORES SHRS",
        "SKWY": "SKYWAY", "SPG": "SPG SPNG SPRING SPRNG", "SPGS": "SPGS SPNGS SPRINGS SPRNGS", "SPUR": "SPUR SPURS",
        "SQ": "SQ SQR SQRE SQU SQUARE", "SQS": "SQRS SQUARES", "STA": "STA STATION STATN STN",
        "STRA": "STRA STRAV STRAVEN STRAVENUE STRAVN STRVN STRVNUE", "STRM": "STREAM STREME STRM",
        "ST": "STREET STRT ST STR", "STS": "STREETS", "SMT": "SMT SUMIT SUMITT SUMMIT",
        "TER": "TER TERR TERRACE", "TRWY": "THROUGHWAY", "TRCE": "TRACE TRACES TRCE",
        "TRAK": "TRACK TRACKS TRAK TRK TRKS",
        "TRFY": "TRAFFICWAY", "TRL": "TRAIL TRAILS TRL TRLS", "TRLR": "TRAILER TRLR TRLRS",
        "TUNL": "TUNEL TUNL TUNLS TUNNEL TUNNELS TUNNL", "TPKE": "TRNPK TURNPIKE TURNPK TPKE", "UPAS": "UNDERPASS",
        "UN": "UN UNION", "UNS": "UNIONS", "VLY": "VALLEY VALLY VLLY VLY", "VLYS": "VALLEYS VLYS",
        "VIA": "VDCT VIA VIADCT VIADUCT", "VW": "VIEW VW", "VWS": "VIEWS VWS",
        "VLG": "VILL VILLAG VILLAGE VILLG VILLIAGE VLG", "VLGS": "VILLAGES VLGS", "VL": "VILLE VL",
        "VIS": "VIS VIST VISTA VST VSTA", "WALK": "WALK WALKS", "WALL": "WALL", "WAY": "WY WAY", "WAYS": "WAYS",
        "WL": "WELL", "WLS": "WELLS WLS",
    }.items()
    for spelling in spellings.split()
}  # fmt: skip
"""Street suffixes of appendix C1: every spelling that it lists, to the standard abbreviation."""

UNITS: Final[Mapping[str, str]] = {
    "APT": "APT", "APARTMENT": "APT", "BLDG": "BLDG", "BUILDING": "BLDG", "DEPT": "DEPT", "DEPARTMENT": "DEPT",
    "FL": "FL", "FLOOR": "FL", "HNGR": "HNGR", "HANGAR": "HNGR", "KEY": "KEY", "LOT": "LOT", "PIER": "PIER",
    "RM": "RM", "ROOM": "RM", "SLIP": "SLIP", "SPC": "SPC", "SPACE": "SPC", "STE": "STE", "SUITE": "STE",
    "STOP": "STOP", "TRLR": "TRLR", "TRAILER": "TRLR", "UNIT": "UNIT",
}  # fmt: skip
"""Designators of appendix C2 that need a number after them."""
UNITS_ALONE: Final[Mapping[str, str]] = {
    "BSMT": "BSMT", "BASEMENT": "BSMT", "FRNT": "FRNT", "LBBY": "LBBY", "LOBBY": "LBBY",
    "LOWR": "LOWR", "OFC": "OFC", "OFFICE": "OFC", "PH": "PH", "PENTHOUSE": "PH",
    "REAR": "REAR", "UPPR": "UPPR",
}  # fmt: skip
"""Designators that may stand alone."""
