#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0 OR MIT
import os
import xml.dom.minidom
from xml.parsers.expat import ExpatError

import hooking

own = os.environ["_hook_domxml"]
place = os.path.join(os.path.dirname(own), "hooking-test.xml")
os.environ["_hook_domxml"] = place


def holds(content):
    with open(place, "rb") as file:
        there = file.read()
    assert there == content, there


def put(content):
    with open(place, "wb") as file:
        file.write(content)


try:
    # what was read and not changed stays as it is, to the byte
    for text in (
        "<domain type='kvm'  id = '1'><name>x</name></domain>",
        "<?xml version='1.0'?>\n<!-- first -->\n<domain>\r\n<name>x</name></domain>\n<!-- last -->\n",
        "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:commandline/></domain>",
        "<domain><title>caf\xe9 \u65e5\U0001f600</title><x><![CDATA[a < b & c]]></x><e>&lt;&#233;</e></domain>",
    ):
        put(text.encode("utf-8"))
        document = hooking.read_domxml()
        assert isinstance(document, xml.dom.minidom.Document)
        hooking.write_domxml(document)
        holds(text.encode("utf-8"))
        os.utime(place, (1, 1))
        hooking.write_domxml(xml.dom.minidom.parseString(text.encode("utf-8")))
        assert os.stat(place).st_mtime == 1, "written"
        # there and back again
        document.documentElement.setAttribute("x", "y")
        document.documentElement.removeAttribute("x")
        hooking.write_domxml(document)
        holds(text.encode("utf-8"))

    # every change arrives, in the same file
    inode = os.stat(place).st_ino
    document.documentElement.setAttribute("title", "\xfc<&\"")
    hooking.write_domxml(document)
    holds(
        '<?xml version="1.0" encoding="utf-8"?><domain title="\xfc&lt;&amp;&quot;">'
        "<title>caf\xe9 \u65e5\U0001f600</title><x><![CDATA[a < b & c]]></x><e>&lt;\xe9</e></domain>".encode("utf-8")
    )
    assert os.stat(place).st_ino == inode
    again = hooking.read_domxml()
    assert again.documentElement.getAttribute("title") == "\xfc<&\""
    again.documentElement.removeChild(again.getElementsByTagName("e")[0])
    hooking.write_domxml(again)
    assert not hooking.read_domxml().getElementsByTagName("e")

    # an element alone
    put(b"<a><b/></a>")
    hooking.write_domxml(hooking.read_domxml().documentElement)
    holds(b"<a><b/></a>")
    hooking.write_domxml(hooking.read_domxml().getElementsByTagName("b")[0])
    holds(b"<b/>")

    # what can't be read
    for content, error in ((b"", ExpatError), (b"<a>", ExpatError), (b"<a>\xe9</a>", UnicodeDecodeError)):
        put(content)
        try:
            hooking.read_domxml()
        except error:
            pass
        else:
            assert False, content
        hooking.write_domxml(xml.dom.minidom.parseString("<n/>"))
        holds(b'<?xml version="1.0" encoding="utf-8"?><n/>')
    os.unlink(place)
    hooking.write_domxml(xml.dom.minidom.parseString("<n/>"))
    holds(b'<?xml version="1.0" encoding="utf-8"?><n/>')
    del os.environ["_hook_domxml"]
    for call in (hooking.read_domxml, lambda: hooking.write_domxml(document)):
        try:
            call()
        except KeyError as error:
            assert error.args == ("_hook_domxml",), error
        else:
            assert False, "no document, and no error"
finally:
    if os.path.exists(place):
        os.unlink(place)
