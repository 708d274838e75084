"""The embedded sample newsroom: six invented news sites, served over real HTTP on loopback.

`newsroom` is the server, `content` the texts, `pages` and `feeds` what is wrapped around them.
"""
