# As PSOL does it: the detector learns where the object is, a classifier tells the class.
_base_ = ['./rtmdet_small-vit_shapes.py']
classes = ('object', )
model = dict(bbox_head=dict(num_classes=1))
train_dataloader = dict(dataset=dict(ann_file='pseudo-train_agnostic.json', metainfo=dict(classes=classes)))
val_dataloader = dict(dataset=dict(ann_file='gt-val_agnostic.json', metainfo=dict(classes=classes)))
test_dataloader = dict(dataset=dict(ann_file='gt-val_agnostic.json', metainfo=dict(classes=classes)))
val_evaluator = dict(ann_file='data/shapes/gt-val_agnostic.json')
test_evaluator = val_evaluator
