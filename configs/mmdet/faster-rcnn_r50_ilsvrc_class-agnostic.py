# As PSOL does it: the detector learns where the object is, a classifier tells the class.
_base_ = ['./faster-rcnn_r50_ilsvrc.py']
metainfo = dict(classes=('object', ))
model = dict(roi_head=dict(bbox_head=dict(num_classes=1)))
train_dataloader = dict(dataset=dict(ann_file='boxes/pseudo-train_agnostic.json', metainfo=metainfo))
val_dataloader = dict(dataset=dict(ann_file='boxes/gt-val_agnostic.json', metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='data/ILSVRC2012/boxes/gt-val_agnostic.json')
test_evaluator = val_evaluator
