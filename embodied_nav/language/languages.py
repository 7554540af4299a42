"""Words of other languages for what the vocabulary knows: German, French, Spanish, Italian. Knows no grammar.

A row is the English name, then the words of each language. Where a word means something else in English ("bad", "four",
"lit"), it stands here with its article. Accents may be left out ("canape"). Orders and articles are read word by word
(:func:`function_words`); a sentence whose other words are not known stays refused.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

#: English name | German | French | Spanish | Italian.
_THINGS = """
    armchair        | sessel, lehnstuhl                  | fauteuil                       | sillón, butaca                     | poltrona
    backpack        | rucksack                           | sac à dos                      | mochila                            | zaino
    bathtub         | badewanne                          | baignoire                      | bañera                             | vasca, vasca da bagno
    bed             | bett                               | le lit, un lit, au lit, du lit | cama                               | letto
    bench           | sitzbank, parkbank                 | banc                           | banco                              | panca, panchina
    bookshelf       | bücherregal                        | bibliothèque                   | estantería                         | libreria
    bottle          | flasche                            | bouteille                      | botella                            | bottiglia
    cabinet         | schrank                            | armoire de rangement           | armario                            | armadietto
    chair           | stuhl                              | chaise                         | silla                              | sedia
    clock           | uhr, wanduhr                       | horloge                        | reloj                              | orologio
    coffee table    | couchtisch                         | table basse                    | mesa de centro, mesita             | tavolino
    computer        | rechner                            | ordinateur                     | ordenador, computadora             | calcolatore
    cup             | tasse                              | une tasse, la tasse            | taza                               | tazza
    desk            | schreibtisch                       | table de travail               | escritorio                         | scrivania
    dining table    | esstisch                           | table à manger                 | mesa de comedor                    | tavolo da pranzo
    dishwasher      | spülmaschine, geschirrspüler       | lave-vaisselle                 | lavavajillas, lavaplatos           | lavastoviglie
    door            | tür                                | porte                          | puerta                             | porta
    dresser         | kommode                            | commode                        | cómoda                             | cassettiera
    elevator        | aufzug, fahrstuhl                  | ascenseur                      | ascensor                           | ascensore
    fireplace       | kamin                              | cheminée                       | chimenea                           | caminetto
    lamp            | lampe                              | lampe                          | lámpara                            | lampada
    microwave       | mikrowelle                         | micro-ondes                    | microondas                         | microonde, forno a microonde
    mirror          | spiegel                            | miroir                         | espejo                             | specchio
    nightstand      | nachttisch                         | table de nuit, table de chevet | mesilla, mesita de noche           | comodino
    oven            | ofen, backofen, zum herd, dem herd | le four, cuisinière            | horno                              | forno
    person          | mensch                             | personne                       | persona                            | persona
    piano           | klavier                            |                                |                                    | pianoforte
    picture         | bild, gemälde                      | tableau                        | cuadro                             | quadro
    plant           | pflanze, blume                     | plante                         | planta                             | pianta
    refrigerator    | kühlschrank                        | réfrigérateur, frigo           | nevera, frigorífico, refrigerador  | frigorifero, frigo
    rug             | teppich                            | tapis                          | alfombra                           | tappeto
    shelf           | zum regal, das regal               | étagère                        | estante, repisa                    | scaffale, mensola
    shower          | dusche                             | douche                         | ducha                              | doccia
    sink            | spüle, spülbecken                  | évier                          | fregadero                          | lavello
    sofa            |                                    | canapé                         | sofá                               | divano
    stairs          | treppe                             | escalier                       | escalera, escaleras                | scala, scalinata
    stool           | hocker, schemel                    | tabouret                       | taburete                           | sgabello
    suitcase        | koffer                             | valise                         | maleta                             | valigia
    table           | tisch                              |                                | mesa                               | tavolo
    toilet          | klo                                | toilettes                      | inodoro, retrete                   | gabinetto
    trash can       | mülleimer, papierkorb, abfalleimer | poubelle                       | papelera, basurero, cubo de basura | cestino, pattumiera
    tv              | fernseher                          | télé, téléviseur               | televisor                          | televisore, televisione
    wardrobe        | kleiderschrank                     | une armoire, garde-robe        | ropero, guardarropa                | armadio, guardaroba
    washbasin       | waschbecken                        | lavabo                         | lavabo, lavamanos                  | lavandino
    washing machine | waschmaschine                      | lave-linge, machine à laver    | lavadora                           | lavatrice
    window          | fenster                            | fenêtre                        | ventana                            | finestra
"""  # noqa: E501
_ROOMS = """
    living room  | wohnzimmer                                    | salon, séjour                 | salón, sala de estar   | soggiorno, salotto
    kitchen      | küche                                         | cuisine                       | cocina                 | cucina
    bedroom      | schlafzimmer                                  | chambre, chambre à coucher    | dormitorio, habitación | camera da letto
    bathroom     | badezimmer, das bad, ins bad, im bad, zum bad | salle de bain, salle de bains | baño, cuarto de baño   | bagno
    office       | büro, arbeitszimmer                           | le bureau                     | despacho, oficina      | ufficio
    dining room  | esszimmer                                     | salle à manger                | comedor                | sala da pranzo
    hallway      | flur, korridor                                | couloir                       | pasillo                | corridoio
    nursery      | kinderzimmer                                  | chambre enfant                | cuarto de niños        | cameretta
    laundry room | waschküche                                    | buanderie                     | lavadero               | lavanderia
    storage room | abstellraum, abstellkammer                    | débarras                      | trastero               | ripostiglio
"""  # noqa: E501
_COLORS = """
    red       | rot, rote, roten, rotes, roter                     | rouge, rouges       | rojo, roja         | rosso, rossa
    green     | grün, grüne, grünen, grünes, grüner                | vert, verte         | verde              | verde
    blue      | blau, blaue, blauen, blaues, blauer                | bleu, bleue         | azul               | blu
    yellow    | gelb, gelbe, gelben, gelbes, gelber                | jaune               | amarillo, amarilla | giallo, gialla
    purple    | lila                                               | violette            | morado, morada     |
    pink      | rosa                                               |                     | rosa               | rosa
    brown     | braun, braune, braunen, braunes, brauner           | marron, brun, brune | marrón             | marrone
    black     | schwarz, schwarze, schwarzen, schwarzes, schwarzer | noir, noire         | negro, negra       | nero, nera
    white     | weiß, weiße, weißen, weißes, weißer                | blanc, blanche      | blanco, blanca     | bianco, bianca
    gray      | grau, graue, grauen, graues, grauer                | gris, grise         | gris               | grigio, grigia
    orange    | orangefarben                                       |                     | naranja            | arancione
    turquoise | türkis                                             |                     | turquesa           | turchese
"""  # noqa: E501
#: Words between the names, as the English ones that they stand for.
_FUNCTION = """
    the         | der, das, dem, den, die, ein, eine, einen, einem, einer | le, la, les, un, une                    | el, los, las, una, unos                                         | il, lo, gli, uno, la
    to          | zum, zur, nach, zu                                      | à, au, aux, jusqu'à, vers               | al, hasta                                                       | alla, allo, al
    in          | im, ins                                                 | dans                                    | en                                                              | nel, nella, nello
    go          | geh, gehe, gehen, fahr, fahre, fahren                   | va, aller, allez                        | ve, vaya, ir                                                    | vai, vada, andare
    find        | finde, suche                                            | trouve, trouvez, cherche, cherchez      | busca, encuentra, encuentre                                     | trova, cerca
    please      | bitte, kannst, könntest, können, du, sie, mir           | s'il, te, vous, plaît, peux, tu, pouvez | por, favor, puedes, podrías, puede                              | per, favore, puoi, potresti
    then        | dann, danach                                            | puis, ensuite                           | luego, después                                                  | poi, dopo
    and         | und                                                     | et                                      |                                                                 |
    beside      | neben                                                   | à côté de, à côté du, près de, près du  | al lado de, al lado del, junto a, junto al, cerca de, cerca del | accanto, accanto a, accanto al, accanto alla, vicino a, vicino al, vicino alla
    not         | nicht, kein, keine, keinen                              | pas, jamais                             | nunca                                                           | mai
    except      | außer                                                   | sauf                                    | excepto, salvo                                                  | tranne, eccetto
    on          | auf                                                     | sur                                     | sobre                                                           | sul, sulla
    under       | unter                                                   | sous                                    | debajo de, debajo del                                           | sotto
    in front of | vor                                                     | devant                                  | delante de, delante del                                         | davanti a, davanti al, davanti alla
    behind      | hinter                                                  | derrière                                | detrás de, detrás del                                           | dietro
    of          | von                                                     | de, du, des                             | de, del                                                         | della, dello
    but         | aber                                                    | mais                                    | pero                                                            | ma
    that is     |                                                         | qui est                                 | que está                                                        | che è
"""  # noqa: E501


def folded(word: str) -> str:
    """A word without accents: "canape" for "canapé"; German umlauts lose their dots."""
    parts = unicodedata.normalize("NFKD", word.replace("ß", "ss"))
    return "".join(c for c in parts if not unicodedata.combining(c))


@lru_cache(maxsize=1)
def other_things() -> dict[str, str]:
    """Word of another language -> label."""
    return _read(_THINGS)


@lru_cache(maxsize=1)
def other_rooms() -> dict[str, str]:
    """Word of another language -> kind of room."""
    return _read(_ROOMS)


@lru_cache(maxsize=1)
def other_colors() -> dict[str, str]:
    """Word of another language -> colour."""
    return _read(_COLORS)


@lru_cache(maxsize=1)
def function_words() -> dict[str, str]:
    """Word of another language -> the English one that stands for it in an instruction."""
    return _read(_FUNCTION)


@lru_cache(maxsize=1)
def other_words() -> frozenset[str]:
    """All single words of other languages for things, rooms and colours."""
    return frozenset(
        word for table in (other_things(), other_rooms(), other_colors()) for name in table for word in name.split()
    )


def _read(table: str) -> dict[str, str]:
    words: dict[str, str] = {}
    for row in filter(None, map(str.strip, table.splitlines())):
        english, *languages = (cell.strip() for cell in row.split("|"))
        for phrase in (" ".join(p.split()) for cell in languages for p in cell.split(",")):
            for form in filter(None, (phrase, folded(phrase))):
                words.setdefault(form.replace("-", " "), english)
    return words
