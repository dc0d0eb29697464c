// Typed calls, patches of two types, an informer and a watch; against the namespace in $NS.
import assert from 'node:assert/strict'
import {createRequire} from 'node:module'
import {pathToFileURL} from 'node:url'

const project = createRequire(process.env.NODE_PROJECT + '/package.json')
const k8s = await import(pathToFileURL(project.resolve('@kubernetes/client-node')))
const config = new k8s.KubeConfig()
config.loadFromDefault()
const namespace = process.env.NS
const core = config.makeApiClient(k8s.CoreV1Api)
const body = (name) => ({metadata: {name, labels: {made: 'here'}}, data: {a: '1'}})

const seen = []
const list = () => core.listNamespacedConfigMap({namespace, labelSelector: 'made=here'})
const path = `/api/v1/namespaces/${namespace}/configmaps`
const informer = k8s.makeInformer(config, path, list, 'made=here')
for (const verb of ['add', 'update', 'delete']) informer.on(verb, (object) => seen.push(`${verb} ${object.metadata.name}`))
// The library tells of its own stop as of an error.
let stopping = false
informer.on('error', (error) => { if (!stopping || error.name !== 'AbortError') throw error })

const until = async (what, holds) => {
  for (const end = Date.now() + 30_000; !holds();) {
    assert(Date.now() < end, `never: ${what}; seen ${seen}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

await core.createNamespacedConfigMap({namespace, body: body('before')})
await informer.start()
await until('the state', () => seen.includes('add before'))
await core.createNamespacedConfigMap({namespace, body: body('one')})
await until('an addition', () => seen.includes('add one'))
const merged = await core.patchNamespacedConfigMap(
  {name: 'one', namespace, body: {data: {b: '2'}}},
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch))
assert.deepEqual(merged.data, {a: '1', b: '2'})
const patched = await core.patchNamespacedConfigMap(
  {name: 'one', namespace, body: [{op: 'remove', path: '/data/a'}]},
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch))
assert.deepEqual(patched.data, {b: '2'})
await until('a change', () => seen.includes('update one'))
await core.deleteNamespacedConfigMap({name: 'one', namespace})
await until('a deletion', () => seen.includes('delete one'))
assert.equal(informer.get('before', namespace).metadata.name, 'before')
stopping = true
await informer.stop()

const objects = k8s.KubernetesObjectApi.makeApiClient(config)
const applied = await objects.patch(
  {apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'applied', namespace}, data: {x: 'y'}},
  undefined, undefined, 'node', true, k8s.PatchStrategy.ServerSideApply)
assert.equal(applied.data.x, 'y')
await assert.rejects(core.readNamespacedConfigMap({name: 'none', namespace}), (error) => error.code === 404)
console.log('done')
process.exit(0)
