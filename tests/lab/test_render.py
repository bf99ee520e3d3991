"""Rendering again only what a commit can have changed, from a clone of its own."""

import asyncio

from lab.people import People, bare_remote
from lab.render import Checkout, git
from lab.world import ROOT


def test_a_commit_to_one_release_renders_no_other_and_one_to_the_base_renders_all(tmp_path):
    async def story():
        remote = tmp_path / "repo.git"
        await bare_remote(ROOT, remote, "main")
        people = People(remote, tmp_path / "person")
        await people.clone()
        checkout = Checkout(str(remote), "main", tmp_path / "argocd")
        folders = ("overlays/prod/credit", "overlays/prod/savings", "overlays/dev/credit")

        async def again():
            before = {folder: checkout.rendered[folder][1] for folder in checkout.rendered}
            await checkout.take(await checkout.head())
            for folder in folders:
                await checkout.render(folder)
            return [folder for folder in folders if checkout.rendered[folder][1] is not before.get(folder)]

        assert await again() == list(folders)
        await people.commit("a word", {"overlays/prod/credit/release/NOTES.md": "hello"})
        assert await again() == ["overlays/prod/credit"]
        await people.commit("a word", {"overlays/prod/common/NOTES.md": "hello"})
        assert await again() == ["overlays/prod/credit", "overlays/prod/savings"]
        await people.commit("a word", {"base/NOTES.md": "hello"})
        assert await again() == list(folders)
        assert await again() == []

    asyncio.run(story())


def test_a_shallow_clone_becomes_a_remote_of_one_whole_commit(tmp_path):
    async def story():
        await git("clone", "-q", "--depth=1", f"file://{ROOT}", str(tmp_path / "shallow"))
        await bare_remote(tmp_path / "shallow", tmp_path / "repo.git", "main")
        assert (await git("rev-parse", "--is-shallow-repository", cwd=tmp_path / "repo.git")).strip() == "false"
        tree = await git("rev-parse", "main^{tree}", cwd=tmp_path / "repo.git")
        assert tree == await git("rev-parse", "HEAD^{tree}", cwd=ROOT)
        await People(tmp_path / "repo.git", tmp_path / "person").clone()

    asyncio.run(story())
