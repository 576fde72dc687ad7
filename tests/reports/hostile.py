"""What a name, a category, an answer or a judge may hold. Any of the scripts that ran would set ``window.ran``."""

ARABIC = "ما هي عاصمة مصر؟"
SCRIPT = "<script>window.ran=1</script>"
CLOSING = "</script><script>window.ran=2</script>"
IMAGE = "<img src=x onerror='window.ran=3'>"
SVG = '"><svg onload="window.ran=4">'
LINK = "javascript:window.ran=5"
BRACES = "{{ 7 * 7 }} ${window.ran=6} [x](javascript:window.ran=7) **bold**"
LONG = f"{ARABIC} \u202eevil\u202c 😀👩‍👩‍👧 " + "w" * 3000
ATTACKS = (SCRIPT, CLOSING, IMAGE, SVG, LINK, BRACES)
